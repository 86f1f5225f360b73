"""The commands; each is in the table of vgg_mm_cli."""
