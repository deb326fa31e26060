"""Who may do what: accounts, sessions, bearer tokens, invitations, the audit log. Holds policy; SQL is in ledger/."""
