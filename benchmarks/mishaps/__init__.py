"""What goes wrong around a fit: damaged files, kills, full disks, little memory, NaN, Ctrl-C."""
