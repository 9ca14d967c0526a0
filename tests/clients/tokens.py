"""Tokens and keys by a library that is not ours (PyJWT): argument is a folder, in which it leaves a
secret, public keys as PEM and as a set (JWKS). Then each line of the standard input asks for a token
and is answered by one: `ALGORITHM KEY KID SECONDS CLAIMS`, where KEY is `secret`, `rsa`, `p256`,
`p384` or `stranger`, KID `-` for none, SECONDS until it expires, and CLAIMS JSON.
"""

import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

FOLDER = pathlib.Path(sys.argv[1])
SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
KEYS = {
    "secret": SECRET,
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "stranger": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
ENCODERS = {"rsa": jwt.algorithms.RSAAlgorithm, "stranger": jwt.algorithms.RSAAlgorithm}


def leave(name, text):
    (FOLDER / name).write_text(text)


def leave_public(name):
    public = KEYS[name].public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    leave(name, public.public_bytes(serialization.Encoding.PEM, form).decode())
    encoder = ENCODERS.get(name, jwt.algorithms.ECAlgorithm)
    jwk = {**json.loads(encoder.to_jwk(public)), "kid": name, "use": "sig"}
    leave(f"{name}.jwks", json.dumps({"keys": [jwk]}))


leave("secret", SECRET + "\n")
for name in ("rsa", "p256", "p384", "stranger"):
    leave_public(name)
print("READY", flush=True)
for line in sys.stdin:
    algorithm, key, kid, seconds, claims = line.split(" ", 4)
    claims = {"sub": "ann", "exp": int(time.time()) + int(seconds), **json.loads(claims)}
    head = {} if kid == "-" else {"kid": kid}
    print(jwt.encode(claims, KEYS[key], algorithm=algorithm, headers=head), flush=True)
