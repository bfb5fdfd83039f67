//! Which orders to kill were carried out, and which are due.

use std::time::Duration;

use egida_core::ids::Rank;

use crate::kill::{KillOrder, Victim, When};

/// The orders of a job.
#[derive(Debug)]
pub struct Kills {
    orders: Vec<(KillOrder, bool)>,
}

impl Kills {
    /// None is carried out yet.
    #[must_use]
    pub fn new(orders: Vec<KillOrder>) -> Self {
        Self { orders: orders.into_iter().map(|order| (order, false)).collect() }
    }

    /// What the process that is this life of a rank is to do to itself.
    #[must_use]
    pub fn triggers(&self, victim: Victim) -> Option<String> {
        let of_it = self.orders.iter().filter(|(order, _)| order.first() == victim);
        let triggers: Vec<_> = of_it.filter_map(|(order, _)| order.trigger()).collect();
        (!triggers.is_empty()).then(|| triggers.join(";"))
    }

    /// A process of that rank killed itself, so far as the signal tells: the order that it obeyed. Of several, the first
    /// that its counts of sends and deliveries have reached.
    pub fn obeyed(&mut self, victim: Victim, sends: u64, deliveries: u64) -> Option<KillOrder> {
        let reached = |when: When| match when {
            When::After(_) => false,
            // It dies in the middle of the event, before that is counted.
            When::Send(nth) => sends + 1 >= nth,
            When::Deliver(nth) => deliveries + 1 >= nth,
            When::Point(..) => true,
        };
        let mut candidates: Vec<_> = self
            .orders
            .iter_mut()
            .filter(|(order, done)| !done && order.first() == victim && order.trigger().is_some())
            .collect();
        let at = match candidates.len() {
            0 => return None,
            1 => 0,
            _ => candidates.iter().position(|(order, _)| reached(order.when)).unwrap_or(0),
        };
        let (order, done) = &mut *candidates[at];
        *done = true;
        Some(order.clone())
    }

    /// When the next order of the clock is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.orders.iter().filter(|(_, done)| !done).filter_map(|(order, _)| time(order)).min()
    }

    /// Takes the orders that are due.
    pub fn due(&mut self, elapsed: Duration) -> Vec<KillOrder> {
        let due = |order: &KillOrder| time(order).is_some_and(|time| time <= elapsed);
        let mut taken = Vec::new();
        for (order, done) in self.orders.iter_mut().filter(|(order, done)| !done && due(order)) {
            *done = true;
            taken.push(order.clone());
        }
        taken
    }

    /// Orders of which nothing came.
    pub fn left(&self) -> impl Iterator<Item = &KillOrder> {
        self.orders.iter().filter(|(_, done)| !done).map(|(order, _)| order)
    }
}

fn time(order: &KillOrder) -> Option<Duration> {
    match order.when {
        When::After(time) => Some(time),
        When::Send(_) | When::Deliver(_) | When::Point(..) => None,
    }
}

/// Who dies with a rank.
pub fn companions(order: &KillOrder) -> impl Iterator<Item = Rank> + '_ {
    order.victims.iter().skip(1).map(|victim| victim.rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(orders: &[&str]) -> Kills {
        Kills::new(orders.iter().map(|order| KillOrder::parse(order, 8).unwrap()).collect())
    }

    #[test]
    fn each_life_gets_its_own_triggers() {
        let kills = kills(&["1@send:5", "1@point:match:2", "1.2@deliver:3", "2@1s"]);
        let of = |rank, life| kills.triggers(Victim { rank, life });
        assert_eq!(of(1, 1).as_deref(), Some("send:5;point:match:2"));
        assert_eq!(of(1, 2).as_deref(), Some("deliver:3"));
        assert_eq!(of(2, 1), None);
    }

    #[test]
    fn an_order_is_carried_out_once() {
        let mut kills = kills(&["1+3@send:5", "2@1s"]);
        assert_eq!(kills.next_due(), Some(Duration::from_secs(1)));
        let victim = Victim { rank: 1, life: 1 };
        let obeyed = kills.obeyed(victim, 5, 0).unwrap();
        assert_eq!(companions(&obeyed).collect::<Vec<_>>(), [3]);
        assert!(kills.obeyed(victim, 5, 0).is_none());
        assert!(kills.due(Duration::from_millis(900)).is_empty());
        assert_eq!(kills.due(Duration::from_secs(1)).len(), 1);
        assert!(kills.due(Duration::from_secs(2)).is_empty());
        assert_eq!(kills.left().count(), 0);
    }

    #[test]
    fn of_several_orders_the_one_reached_is_meant() {
        let mut kills = kills(&["1@send:50", "1@deliver:3"]);
        let obeyed = kills.obeyed(Victim { rank: 1, life: 1 }, 7, 3).unwrap();
        assert_eq!(obeyed.to_string(), "1@deliver:3");
        assert_eq!(kills.left().map(ToString::to_string).collect::<Vec<_>>(), ["1@send:50"]);
    }
}
