"""The bundle: everything that a site needs on one medium. Declared, locked, fetched, assembled, verified, carried.

In the order of the work: `declaration` says what a bundle holds; `lock` pins every input by digest; `sources` (network)
fills the content-addressed `store`; `assemble` (no network) lays out the folder and writes its `manifest`; `verify`
accounts for every file and is the only way to a `VerifiedBundle`.
"""
