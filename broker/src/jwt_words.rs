//! How tokens may be signed, by name. What they mean is in `jwt`.

/// All ways to sign that are taken. `none` is no way to sign.
pub(crate) const ALGORITHMS: [&str; 11] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384",
];
