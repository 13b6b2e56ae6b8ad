"""A cluster of stations in virtual time, by seed: the real allocator, members and leader in a world that fails.

What is real: `station.domain.allocation` and `station.domain.cluster` (members, leader, the messages' codec). What is
modelled, and knows nothing of the product's bookkeeping:

| module | models |
| --- | --- |
| `timeline` | virtual time; clocks that run up to half a percent fast or slow |
| `boards` | controllers that take a command late, or not at all, and keep what they had |
| `cars` | cars that come and go, follow the duty cycle late and wake their other rectifiers |
| `network` | links that lose, delay, double and reorder messages, in one direction or both |
| `stations` | a control loop: level 1, the member, the boards; it is stopped, killed and started again |
| `master` | the leader beside the member of one station, and its restarts |
| `happenings` | what happens when, drawn from the seed |
| `checker` | the sum of what the points may draw, from what the boards were told and the settle times alone |
| `world` | puts all this together; `World(seed).run()` |

A failure names its seed: `python -m benchmarks.cluster_simulation --first SEED --seeds 1 --diary` tells what happened.
"""
