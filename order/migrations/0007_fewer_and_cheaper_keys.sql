-- Keys are compared for being equal, never shown in an order: byte by byte, without the rules of a language.
ALTER TABLE idempotency
    ALTER COLUMN route TYPE text COLLATE "C",
    ALTER COLUMN key TYPE text COLLATE "C";

-- A ticket is found by what the order holds; its index by order was one more row per order.
DROP INDEX order_ticket_of_order;
