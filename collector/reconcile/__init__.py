"""Reconciliation: journal ↔ HIS export ↔ acquirer's file. What belongs where: docs/reconcile.md.

mapping, fields, reading   a file's rows become entries, by a declarative description
staging, groups, linking   entries of the same payment are brought together, key by key, in sorted runs
judge, undone, twins       what each group of entries means
run                        one day: read, match, store; nightly: the same without a person
"""
