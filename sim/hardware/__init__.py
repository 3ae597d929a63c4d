"""What the members run on: cores, disks and links, as stations; and the probe that measures a real disk."""
