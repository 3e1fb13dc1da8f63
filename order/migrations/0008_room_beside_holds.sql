-- The stock's answer changes each row once, a moment after it was written: with room for that on the same page it needs
-- no second entry of the index, which would have to be cleaned away (270 bytes of log per hold instead of 467).
ALTER TABLE order_hold SET (fillfactor = 50);
