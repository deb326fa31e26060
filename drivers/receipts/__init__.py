"""Printed receipts (签购单): from a printer's bytes to text, from text to facts. Sans-IO, as all of drivers/."""
