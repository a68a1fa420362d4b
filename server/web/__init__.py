"""What people and programs meet over HTTPS: the portal and the API."""
