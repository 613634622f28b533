"""Who asks, and from where.

authenticator  any credential → an identity
identity       a caller and its scopes
jwt_verifier   a JWT → an identity
signing_keys   what a JWT is checked with: a secret, a public key, or …
jwks_keys      … the keys at a JWKS address
api_keys       keys kept as SHA-256, in a file that only its owner reads
private_file   such a file, written in one move
private_folder the state folder, which only its owner enters
origins        which hosts and web pages may ask
command_line   scripts/token
explanation    a credential in words, for scripts/token inspect
"""
