"""Everything that runs on a cashier PC: bridge, decoder, book, journal, publisher and the command line."""

__version__ = "0.1.0"
