"""What speaks to a payment terminal: protocols, links, simulated terminals. Knows nothing of agent or collector."""
