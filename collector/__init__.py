"""The central collector: reads the events of all agents from the broker."""
