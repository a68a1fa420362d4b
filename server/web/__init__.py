"""What people and programs meet over HTTPS: the portal and the API. They hold no business rule."""
