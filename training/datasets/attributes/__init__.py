"""Data sets with several labels an image: tables of them beside images, and a drawn one."""
