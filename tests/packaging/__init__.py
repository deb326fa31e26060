"""The package: installed, upgraded and removed in a clean Debian."""
