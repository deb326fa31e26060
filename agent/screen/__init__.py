"""The live screen of `tillwatch diag --watch`.

    entry.py    one row: what it is, in text that is ready to be shown
    follow.py   from the bridge's records to rows (pure)
    model.py    the rows that are held, filters, search, rates, the current payment (pure)
    saving.py   the rows as a .tlog
    feed.py     the connection to the bridge, and again when it ends
    app.py, rows.py   Textual: keys and layout; imported only when the screen is asked for

Nothing behind follow.py holds a whole card number.
"""
