"""What annotation tools export and import, one tool a module, as rows of `preceptor.formats.interchange`."""
