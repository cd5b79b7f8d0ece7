"""Five chapters on real input and against known truths: `duhamel demo`.

One module per chapter, each with `chapter(context: Context) -> Chapter`. A finished chapter is stored in the folder of
the run, so that a demo that was killed goes on where it stood.
"""
