"""The station's processes: what each of them runs, and the main process that supervises them."""
