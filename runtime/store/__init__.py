"""The stores: one protocol (`base`), one conformance suite, an implementation per URL scheme."""
