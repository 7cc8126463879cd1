"""What `helpers.install` is made of: where the course runs, what is installed there, and how to add to it."""
