"""Settlement: what became of the rows, counted, told, judged and kept, before their states may leave."""
