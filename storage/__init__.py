"""The database: engine, tables, migrations, field encryption, directory, ledger. The only room that speaks SQL."""
