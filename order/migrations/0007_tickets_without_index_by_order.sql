-- A ticket is found by what its order holds; its index by order was one more row per order.
DROP INDEX order_ticket_of_order;
