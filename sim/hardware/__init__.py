"""What the members run on: disks and links, as stations; and the probe that measures a real disk."""
