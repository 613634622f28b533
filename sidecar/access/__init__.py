"""Who asks, and from where.

identity       a caller and its scopes
signing_keys   what a JWT is checked with: a secret, a public key, or a JWKS
jwt_verifier   a JWT → an identity
api_keys       keys kept as SHA-256, in a file that only its owner reads
private_file   such a file, written in one move
authenticator  any credential → an identity
origins        which hosts and web pages may ask
command_line   scripts/token
"""
