"""The strict auditor: what an audit pack establishes, over the unmodified verifier, with no network and no clock."""
