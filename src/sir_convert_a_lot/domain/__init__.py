"""Pure words: job specs and states, GPU facts and causes, policy, receipts, errors. Imports nothing of ours."""
