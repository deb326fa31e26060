"""Protocols described in TOML (config/protocols/*.toml and a site's own folder) instead of code; docs/profiles.md.

schema   what a profile says, as frozen values        load      TOML → schema; mistakes by line (errors, reader)
framing  bytes → frames, resynchronising (checks)     layouts   a message's bytes ↔ its fields (fields, json_text)
messages a frame → which message, and its facts       decoder   the exchange: observations for the book
explain  a frame field by field, for people           mask      a frame without card numbers, for recordings
asking   read-only questions                          driver    all of it as a `drivers.driver.Driver`
"""
