"""What trainers read, one format a module, as rows of `preceptor.formats.interchange`."""
