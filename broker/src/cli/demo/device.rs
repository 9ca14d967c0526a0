//! A device that is not there: what it measures at a moment. Knows no socket, no clock and no
//! chance.

use std::f64::consts::TAU;

/// What the devices are called, by turns.
const KINDS: [&str; 4] = ["press", "pump", "oven", "mixer"];
/// Devices on a line.
const ON_A_LINE: u16 = 4;

/// One device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    number: u16,
}

impl Device {
    /// The n-th, from 0.
    pub(crate) fn new(number: u16) -> Self {
        Self { number }
    }

    /// Its client id.
    pub(crate) fn id(self) -> String {
        format!("demo-{}", self.number + 1)
    }

    /// What its topics begin with: `demo/line-1/press-1`.
    pub(crate) fn place(self) -> String {
        let kind = KINDS.get(usize::from(self.number % ON_A_LINE)).copied().unwrap_or("device");
        format!("demo/line-{}/{kind}-{}", self.number / ON_A_LINE + 1, self.number + 1)
    }

    /// A temperature that rises and falls, each device in its own time; `noise` is from 0 to 1.
    pub(crate) fn temperature(self, seconds: f64, noise: f64) -> f64 {
        let period_s = 40.0 + f64::from(self.number % 7) * 9.0;
        let wave = (seconds / period_s * TAU + f64::from(self.number)).sin();
        40.0 + f64::from(self.number % 5) * 5.0 + wave * 8.0 + noise
    }

    /// Its state as JSON.
    pub(crate) fn state(self, seq: u64, temperature: f64, noise: f64) -> String {
        let rpm = 900.0 + temperature * 10.0 + noise * 20.0;
        let is_hot = temperature > 65.0;
        format!(
            "{{\"seq\":{seq},\"temperature\":{temperature:.2},\"rpm\":{rpm:.0},\"alarm\":{is_hot}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn devices_have_their_own_places_and_measure_what_can_be() {
        let devices: Vec<Device> = (0..1000).map(Device::new).collect();
        let mut places: Vec<String> = devices.iter().map(|device| device.place()).collect();
        assert_eq!(
            (places[0].as_str(), places[5].as_str()),
            ("demo/line-1/press-1", "demo/line-2/pump-6")
        );
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 1000);
        for device in devices {
            for second in 0..200 {
                let temperature = device.temperature(f64::from(second), 0.5);
                assert!((20.0..90.0).contains(&temperature), "{temperature}");
            }
        }
        let state = Device::new(0).state(3, 41.256, 0.0);
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        assert_eq!(state["seq"], 3);
        assert_eq!(state["temperature"], 41.26);
    }
}
