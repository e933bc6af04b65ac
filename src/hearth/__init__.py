"""Keep a house-price model true: collect, prepare, train, evaluate, deploy, watch."""
