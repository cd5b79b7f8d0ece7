"""duhamel: differential equations, solved and learned.

Names are loaded when they are first used (PEP 562), so that `import duhamel` costs nothing and
`import duhamel.torch` never imports JAX.
"""

import lazy_loader

__version__ = "0.1.0"

_load, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _load(name)
    except AttributeError:
        if name.startswith("_") or name in __dir__():
            raise
        import difflib

        near = difflib.get_close_matches(name, __dir__(), 3, 0.5)
        did = f"; did you mean {' or '.join(near)}?" if near else "."
        raise AttributeError(f"duhamel has no {name}{did}", name=name) from None
