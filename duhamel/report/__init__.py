"""What a run leaves behind: records, figures, and one self-contained page. Imports nothing of ours."""
