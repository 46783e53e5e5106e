"""A bad release and a changing world: real data, through the product's own interfaces."""
