"""duhamel: differential equations, solved and learned.

Names are loaded when they are first used (PEP 562), so that `import duhamel` costs nothing and
`import duhamel.torch` never imports JAX.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
