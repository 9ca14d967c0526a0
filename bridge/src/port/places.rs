//! Places for connections: how many there are, how many of one address, and how many for those who
//! have not shown who they are. Never looks at what anybody says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use crate::wire::Refusal;

/// All of them.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    /// Of one address; 0: any number.
    per_address_max: usize,
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    strangers: usize,
    addresses: HashMap<IpAddr, OfAddress>,
}

#[derive(Debug, Default)]
struct OfAddress {
    count: usize,
    strangers: usize,
}

impl Places {
    pub(super) fn new(max: usize, per_address_max: usize) -> Rc<Self> {
        Rc::new(Self { max, per_address_max, taken: RefCell::default() })
    }

    /// One more, of a client that has to show who it is, or need not. Of those who have to and have
    /// not there are as many as half of the places, and of one address half of these: who signs in
    /// finds room, whoever else comes and says nothing.
    pub(super) fn take(
        all: &Rc<Self>,
        address: IpAddr,
        is_stranger: bool,
    ) -> Result<Place, Refusal> {
        let address = network_of(address);
        let taken = &mut *all.taken.borrow_mut();
        let of_address = taken.addresses.get(&address);
        let (here, strangers) = of_address.map_or((0, 0), |one| (one.count, one.strangers));
        if taken.count >= all.max {
            return Err(Refusal::TooMany);
        }
        if all.per_address_max > 0 && here >= all.per_address_max {
            return Err(Refusal::Address);
        }
        let strangers_max = all.max.div_ceil(2);
        let is_beyond = taken.strangers >= strangers_max || strangers >= strangers_max.div_ceil(2);
        if is_stranger && is_beyond {
            return Err(Refusal::Strangers);
        }
        taken.count += 1;
        taken.strangers += usize::from(is_stranger);
        let of_address = taken.addresses.entry(address).or_default();
        of_address.count += 1;
        of_address.strangers += usize::from(is_stranger);
        Ok(Place { all: Rc::clone(all), address, is_stranger })
    }
}

/// That of one connection, as long as it is held.
#[derive(Debug)]
pub(super) struct Place {
    all: Rc<Places>,
    address: IpAddr,
    is_stranger: bool,
}

impl Place {
    /// Its client has shown who it is.
    pub(super) fn is_known(&mut self) {
        if !std::mem::take(&mut self.is_stranger) {
            return;
        }
        let taken = &mut *self.all.taken.borrow_mut();
        taken.strangers -= 1;
        if let Some(of_address) = taken.addresses.get_mut(&self.address) {
            of_address.strangers -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_known();
        let taken = &mut *self.all.taken.borrow_mut();
        taken.count -= 1;
        let Some(of_address) = taken.addresses.get_mut(&self.address) else { return };
        of_address.count -= 1;
        if of_address.count == 0 {
            taken.addresses.remove(&self.address);
        }
    }
}

/// Of version 6 the network of 64 bits: who has one address there has all.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::rc::Rc;

    use super::{Place, Places};
    use crate::wire::Refusal;

    fn take(all: &Rc<Places>, last: u8, is_stranger: bool) -> Result<Place, Refusal> {
        Places::take(all, IpAddr::from([192, 0, 2, last]), is_stranger)
    }

    #[test]
    fn strangers_have_half_of_the_places_and_of_one_address_half_of_these() {
        let all = Places::new(8, 0);
        let refused = |last| take(&all, last, true).expect_err("as many as may be");
        let (mut first, _second) = (take(&all, 1, true).expect("1"), take(&all, 1, true));
        assert_eq!(refused(1), Refusal::Strangers);
        let _others = [2, 3].map(|last| take(&all, last, true).expect("another"));
        assert_eq!(refused(4), Refusal::Strangers);
        first.is_known();
        first.is_known();
        let _third = take(&all, 1, true).expect("one of them has signed in");
        let _known = [1, 1, 5].map(|last| take(&all, last, false).expect("need not"));
        assert_eq!(take(&all, 6, false).expect_err("all are taken"), Refusal::TooMany);
    }

    #[test]
    fn an_address_has_so_many_and_what_is_given_back_is_free_again() {
        let all = Places::new(8, 2);
        let network = |last| IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, last]);
        let mut held = Vec::new();
        for last in [1, 2] {
            held.push(Places::take(&all, network(last), false).expect("two"));
        }
        let third = Places::take(&all, network(3), false);
        assert_eq!(third.expect_err("it is of the same network"), Refusal::Address);
        held.push(take(&all, 1, true).expect("another address"));
        held.clear();
        let taken = all.taken.borrow();
        assert_eq!((taken.count, taken.strangers, taken.addresses.len()), (0, 0, 0));
    }
}
