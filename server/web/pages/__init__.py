"""The pages, a module for each room. Whatever stands here in ROUTES is served."""
