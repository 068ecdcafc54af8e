"""Where private keys live: files, encrypted files, a PKCS#11 token, OpenBao. Each is a `KeyStore` of `trust.keys`."""
