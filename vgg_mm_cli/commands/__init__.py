"""The commands, one a module; each is in the table of vgg_mm_cli."""
