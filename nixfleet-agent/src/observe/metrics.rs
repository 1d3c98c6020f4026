//! Load of the host.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// One sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Use of all processors since the sample before, in percent.
    pub cpu: f32,
    /// Memory in use, in percent.
    pub ram: f32,
    /// Swap in use, in percent; 0 without swap.
    pub swap: f32,
    /// Load average over one minute.
    pub load: f64,
}

/// Takes samples.
#[derive(Debug)]
pub struct Sampler(Option<System>);

impl Default for Sampler {
    fn default() -> Self {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        Self(System::new_with_specifics(kind).ok())
    }
}

impl Sampler {
    /// The load now; `None` where the system does not tell. The first sample has no use of
    /// processors.
    pub fn sample(&mut self) -> Option<Metrics> {
        let system = self.0.as_mut()?;
        system.refresh_cpu_usage();
        system.refresh_memory();
        if system.total_memory() == 0 {
            return None;
        }
        Some(Metrics {
            cpu: system.global_cpu_usage(),
            ram: percent(system.used_memory(), system.total_memory()),
            swap: percent(system.used_swap(), system.total_swap()),
            load: System::load_average().ok()?.one,
        })
    }
}

fn percent(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 100.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_percentages() {
        let mut sampler = Sampler::default();
        let sample = sampler.sample().unwrap();
        for value in [sample.cpu, sample.ram, sample.swap] {
            assert!((0.0..=100.5).contains(&value), "{sample:?}");
        }
        assert!(sample.ram > 0.0 && sample.load >= 0.0);
        assert!(percent(0, 0) == 0.0);
    }
}
