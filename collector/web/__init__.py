"""The collector's face: dashboard pages, API, live events, metrics. Holds no SQL and no policy."""
