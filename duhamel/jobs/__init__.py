"""What the commands do, as functions: compute, print, leave a folder in runs/. `duhamel.cli` parses arguments only."""
