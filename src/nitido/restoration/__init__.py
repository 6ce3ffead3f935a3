"""From findings to repaired sound: plan, stages, chain, verify."""
