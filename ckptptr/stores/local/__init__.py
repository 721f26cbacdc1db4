"""A disk, local or mounted: files with the promises of objects."""
