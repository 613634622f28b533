"""Who asks, from where, and how much they may ask.

authenticator  turns any credential into an identity
identity       a caller and its scopes
jwt_verifier   turns a JWT into an identity
signing_keys   what a JWT is checked with: a secret, a public key, or …
jwks_keys      … the keys at a JWKS address
api_keys       API keys, kept as SHA-256 in a file that only its owner can read
private_files  files and folders that only their owner can read
origins        which hosts and web pages may send requests

limits         the limits of one client or one model, and who is one client, behind proxies too
rate_limiter   requests per second
throttle       how full the machine may be to take more work (pure)

command_line   scripts/token; __main__ runs it
explanation    a credential in words, for scripts/token inspect
"""
