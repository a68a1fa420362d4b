"""Engine, tables, migrations, field encryption, the directory, the ledger's core. SQL is spoken here only."""
