//! Who is at the other end of a connection, as far as it was shown, and what that one may do.
//! Decides nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tidewire_proto::access::Vouched;

use crate::permit::Permit;

/// Who makes a request.
#[derive(Default)]
pub(crate) struct Caller {
    /// The user that it has shown to be.
    pub(crate) user: Option<Box<str>>,
    /// What its certificate says it is.
    pub(crate) certificate: Option<Box<str>>,
    /// What who vouches for it says besides its name.
    pub(crate) vouched: Option<Arc<Vouched>>,
    /// What it may do, as of its last request.
    pub(crate) permit: RefCell<Option<Rc<Permit>>>,
}

impl Caller {
    /// Who shows this certificate, if any.
    pub(crate) fn of_certificate(certificate: Option<Box<str>>) -> Self {
        Self { user: certificate.clone(), certificate, ..Self::default() }
    }

    /// The same after it signed in.
    pub(crate) fn signed_in(&self, user: Box<str>, vouched: Option<Arc<Vouched>>) -> Self {
        let certificate = self.certificate.clone();
        Self { user: Some(user), certificate, vouched, permit: RefCell::default() }
    }
}
