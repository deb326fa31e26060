"""`tillwatch demo`: simulated cashier PCs with faults, a broker, and a live page. Real protocols, no hardware."""
